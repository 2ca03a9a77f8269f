"""Terminal output: progress, plans, cohort status and the list of methods.

Commands pass finished objects to these functions, which print them as text or JSON lines and make no
decisions.
"""
