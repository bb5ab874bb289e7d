"""BasicVSR++, BasicVSR and RealBasicVSR as published, run chunk by chunk: modules without I/O."""
