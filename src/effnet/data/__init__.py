"""Images in: the one decoder, and how a `Preprocess` is applied."""
