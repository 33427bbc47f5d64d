"""`ufc evaluate`: sets of pictures drawn to be measured, and what is measured of them."""
