"""What a network predicts, made visible: one file for each kind of modality, and `choice`, which knows what draws what."""
