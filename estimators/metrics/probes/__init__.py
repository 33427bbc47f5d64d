"""Linear probes: is what was requested what is seen?"""
