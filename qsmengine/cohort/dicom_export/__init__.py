"""Maps to DICOM: objects that a hospital's archive accepts, in the study that the maps were made from.

`inputs` finds quantity, unit and labels of each file in the records that the engine keeps; `export` makes the
objects of :mod:`qsmengine.io.dicom_objects` and writes them. It needs the DICOM files of the study, as imported
datasets hold no identity, and imports no other room of the cohort.
"""
