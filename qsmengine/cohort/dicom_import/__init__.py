"""DICOM to BIDS: convert a scanner's export and name every series.

dcm2niix does the conversion, and each modality recognises and names its own series. Every series that is left
out is reported with the reason. Other rooms of the cohort start from the finished dataset and import nothing
from here.
"""
