"""Search without training: spaces, objectives, searchers, the study that many workers share. No torch.

What trains and measures candidates is in `effnet.experiments`; here it is a function that is passed in.
"""
