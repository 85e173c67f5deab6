"""Tables of runs on which every law is fitted, and NIST's reference data sets."""
