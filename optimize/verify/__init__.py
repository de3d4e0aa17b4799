"""Does a candidate answer as the original does?"""
