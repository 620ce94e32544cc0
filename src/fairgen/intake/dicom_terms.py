"""Closed lists of what is read from a DICOM header, and of the terms that its facts may hold."""

PIXELS = "PixelData"
READ = (
    "SOPClassUID", "Modality", "BodyPartExamined", "ViewPosition", "BurnedInAnnotation",
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames",
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleSlope", "RescaleIntercept",
    "ModalityLUTSequence", "VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction",
    "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData", PIXELS,
)  # fmt: skip
"""Keywords of the only elements that are ever read; whatever else a file holds is skipped."""

GREY = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
COLOUR = (
    "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_PARTIAL_422", "YBR_ICT", "YBR_RCT",
)  # fmt: skip
PHOTOMETRIC = (*GREY, PALETTE, *COLOUR)

MODALITIES = frozenset((
    "CR", "CT", "DX", "ES", "GM", "IO", "IVUS", "MG", "MR", "NM", "OCT", "OP", "OPM", "OPT", "OT",
    "PT", "PX", "RF", "RG", "SC", "SM", "TG", "US", "XA", "XC",
))  # fmt: skip
NO_PICTURES = frozenset((
    "AU", "DOC", "ECG", "EPS", "FID", "HC", "HD", "IOL", "KER", "KO", "LEN", "M3D", "OAM", "OPV",
    "OSS", "PLAN", "PR", "REG", "RTDOSE", "RTIMAGE", "RTPLAN", "RTRECORD", "RTSTRUCT", "RWV",
    "SEG", "SMR", "SR", "SRF", "STAIN", "VA",
))  # fmt: skip
"""Modalities whose objects are no pictures of a patient, even where they hold pixels."""

BODY_PARTS = frozenset((
    "ABDOMEN", "ABDOMENPELVIS", "ADRENAL", "ANKLE", "AORTA", "ARM", "AXILLA", "BACK", "BLADDER",
    "BRAIN", "BREAST", "BRONCHUS", "CALCANEUS", "CAROTID", "CERVIX", "CHEEK", "CHEST",
    "CHESTABDOMEN", "CHESTABDPELVIS", "CLAVICLE", "COCCYX", "COLON", "CSPINE", "CTSPINE", "EAR",
    "ELBOW", "ESOPHAGUS", "EXTREMITY", "EYE", "EYELID", "FACE", "FEMUR", "FINGER", "FOOT",
    "GALLBLADDER", "HAND", "HEAD", "HEADNECK", "HEART", "HIP", "HUMERUS", "ILEUM", "JAW", "KIDNEY",
    "KNEE", "LARYNX", "LEG", "LIVER", "LSPINE", "LSSPINE", "LUNG", "MAXILLA", "MEDIASTINUM",
    "MOUTH", "NECK", "NECKCHEST", "NECKCHESTABDOMEN", "NOSE", "ORBIT", "OVARY", "PANCREAS",
    "PAROTID", "PATELLA", "PELVIS", "PENIS", "PHARYNX", "PORT", "PROSTATE", "RECTUM", "RIB",
    "SCALP", "SCAPULA", "SCLERA", "SCROTUM", "SHOULDER", "SKIN", "SKULL", "SPINE", "SPLEEN",
    "SSPINE", "STERNUM", "STOMACH", "SUBMANDIBULAR", "TESTIS", "THIGH", "THORAX", "THUMB",
    "THYMUS", "THYROID", "TIBIA", "TLSPINE", "TOE", "TONGUE", "TRACHEA", "TSPINE", "UTERUS",
    "VAGINA", "VULVA", "WHOLEBODY", "WRIST",
))  # fmt: skip
VIEWS = frozenset((
    "AP", "PA", "LL", "RL", "LLD", "RLD", "LLO", "RLO", "LATERAL", "LAT", "AP|LAT", "OBLIQUE",
    "ML", "MLO", "LM", "LMO", "CC", "FB", "SIO", "ISO", "XCC", "XCCL", "XCCM", "CV", "AT", "TAN",
    "RM", "RI",
))  # fmt: skip

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
