"""The detectors of a diagnosis, one file for each kind of cause; `chainrule.diagnose.findings` asks them in turn."""
