"""The tables of a cohort as they lie in a BIDS derivatives folder.

``collect`` finds and reads region tables, participants.tsv and sessions; ``typed_columns`` turns their text
into numbers and categories. Group analyses and the voxelwise analysis import it; it knows no model.
Nothing here writes to the folder.
"""
