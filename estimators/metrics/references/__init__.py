"""Is the colour of a reference taken up?"""
