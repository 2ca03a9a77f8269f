"""DICOM to BIDS: convert a scanner's export and recognise what each series is.

The conversion itself is dcm2niix's. A series that is left out is reported with its reason.
"""
