"""One file's text: decoding, masking, languages, outline, chunks, terms, mentions."""
