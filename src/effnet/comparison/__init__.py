"""Networks side by side: what they cost, what they scored, and the papers' figures redrawn. No torch."""

from effnet.comparison.compare import Comparison as Comparison
from effnet.comparison.compare import compare as compare
from effnet.comparison.figures import figure as figure
from effnet.comparison.figures import figures as figures
from effnet.comparison.subject import Measured as Measured
from effnet.comparison.subject import Subject as Subject
