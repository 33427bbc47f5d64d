"""Is a score worth its decimals?"""
