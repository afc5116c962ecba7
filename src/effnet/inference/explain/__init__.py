"""Where in an image a network found its answer, and whether the map that shows it can be trusted."""

from effnet.inference.explain.colours import overlay as overlay
from effnet.inference.explain.explaining import ANY_METHOD as ANY_METHOD
from effnet.inference.explain.explaining import class_numbers as class_numbers
from effnet.inference.explain.explaining import explain as explain
from effnet.inference.explain.explanation import Check as Check
from effnet.inference.explain.explanation import Explanation as Explanation
from effnet.inference.explain.maps import METHODS as METHODS
from effnet.inference.explain.maps import Method as Method
from effnet.inference.explain.maps import activation_maps as activation_maps
from effnet.inference.explain.maps import class_activation_map as class_activation_map
from effnet.inference.explain.maps import stage_name as stage_name
from effnet.inference.explain.maps import stage_number as stage_number
from effnet.inference.explain.picture import overlay_png as overlay_png
from effnet.inference.explain.randomisation import Randomised as Randomised
from effnet.inference.explain.randomisation import cascade as cascade
