"""Makes the DICOM files that tests read."""

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid


def make_dicom(values, *, syntax=ExplicitVRLittleEndian, photometric="MONOCHROME2", **elements):
    """Return a data set whose pixels are the given whole numbers."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["test"])
    meta.TransferSyntaxUID = syntax
    found = FileDataset(
        "",
        {},
        file_meta=meta,
        preamble=b"\0" * 128,
        is_implicit_VR=syntax.is_implicit_VR,
        is_little_endian=syntax.is_little_endian,
    )
    found.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    found.Modality = "CR"
    found.Rows, found.Columns = values.shape[:2]
    found.SamplesPerPixel = values.shape[2] if values.ndim == 3 else 1
    if values.ndim == 3:
        found.PlanarConfiguration = 0
    found.PhotometricInterpretation = photometric
    found.BitsAllocated = found.BitsStored = 8 * values.dtype.itemsize
    found.HighBit = found.BitsStored - 1
    found.PixelRepresentation = int(values.dtype.kind == "i")
    order = ">" if not syntax.is_little_endian else "<"
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    found.PixelData = data + b"\0" * (len(data) % 2)
    found["PixelData"].VR = "OB" if values.dtype.itemsize == 1 else "OW"
    for keyword, value in elements.items():
        setattr(found, keyword, value)
    return found


def write_dicom(path, values, **elements):
    """Write such a data set and return its path."""
    make_dicom(values, **elements).save_as(path, enforce_file_format=True)
    return path


def ramp(height=4, width=16, dtype=np.uint16, step=100):
    """Return pixels that grow from left to right, then downwards."""
    return (np.arange(height * width) * step).reshape(height, width).astype(dtype)
