"""DICOM to BIDS: convert a scanner's export and recognise what each series is.

dcm2niix does the conversion. Every series that is left out is reported with the reason.
"""
