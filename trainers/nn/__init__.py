"""Parts shared by networks; no paper is named here."""
