"""The text of one file: decoding, masking, languages, outline, chunks, terms, mentions."""
