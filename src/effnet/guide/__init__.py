"""From what a person has and wants to a short list of networks: rules as data, with reasons and sources. No torch."""

from effnet.guide.candidates import Candidate as Candidate
from effnet.guide.recommend import Choice as Choice
from effnet.guide.recommend import Recommendation as Recommendation
from effnet.guide.recommend import recommend as recommend
from effnet.guide.situation import Situation as Situation
