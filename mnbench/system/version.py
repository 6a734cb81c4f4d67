"""The version of this package; here, so that no layer needs the public API above it to say it."""

VERSION = "0.1.0"
