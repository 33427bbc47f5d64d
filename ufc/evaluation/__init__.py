"""`ufc evaluate`: sets of pictures generated to be measured, and what is measured of them."""
