"""FFmpeg's names of the code points of ITU-T H.273 and of chroma sample locations, with numbers."""

MATRICES = {
    "gbr": 0,
    "bt709": 1,
    "unknown": 2,
    "fcc": 4,
    "bt470bg": 5,
    "smpte170m": 6,
    "smpte240m": 7,
    "ycgco": 8,
    "bt2020nc": 9,
    "bt2020c": 10,
    "smpte2085": 11,
    "chroma-derived-nc": 12,
    "chroma-derived-c": 13,
    "ictcp": 14,
}

PRIMARIES = {
    "bt709": 1,
    "unknown": 2,
    "bt470m": 4,
    "bt470bg": 5,
    "smpte170m": 6,
    "smpte240m": 7,
    "film": 8,
    "bt2020": 9,
    "smpte428": 10,
    "smpte431": 11,
    "smpte432": 12,
    "ebu3213": 22,
}

TRANSFERS = {
    "bt709": 1,
    "unknown": 2,
    "bt470m": 4,
    "bt470bg": 5,
    "smpte170m": 6,
    "smpte240m": 7,
    "linear": 8,
    "log100": 9,
    "log316": 10,
    "iec61966-2-4": 11,
    "bt1361e": 12,
    "iec61966-2-1": 13,
    "bt2020-10": 14,
    "bt2020-12": 15,
    "smpte2084": 16,
    "smpte428": 17,
    "arib-std-b67": 18,
}

LIMITED, FULL = 1, 2
"""Numbers of the two ranges."""

SITINGS = {
    "unspecified": 0,
    "left": 1,
    "center": 2,
    "topleft": 3,
    "top": 4,
    "bottomleft": 5,
    "bottom": 6,
}
