"""Rules of battery and heat, as tests of those who follow them have them."""

from partitioner.policy.power_rules import PowerRules, Rule

LOW = Rule(name="low", battery_percent=30, recovers=35, energy_factor=1000, max_fps=2)
HOT = Rule(name="hot", temperature_c=80, recovers=72, energy_factor=2)
RULES = PowerRules(rules=(LOW, HOT), every_s=5, hold_s=60, least_s=0)
