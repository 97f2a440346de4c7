"""Learning: batch -> loss -> checkpoint -> evaluation, one short recipe file per paper."""
