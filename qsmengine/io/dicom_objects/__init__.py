"""DICOM objects made from maps, label images and region tables.

`source` reads the study that gives patient, study and frame of reference; `planes` turns array axes into image
planes; the other modules each make one kind of object. Files are written elsewhere: an object leaves this
package as bytes, with identifiers derived from its content.
"""
