"""Training: from data and settings to a run folder that can be resumed, reported on and predicted with.

sources, builder   DATA of the command line -> a Problem: arrays, their treatment, their origin
config             what was asked for -> Settings, with every default decided
network            Settings -> model, loss, optimizer, schedule
dry_run            a model's code runs to be traced, and leaves nothing behind in Python
steps              the halves of a step as functions of a batch, compiled or as they are
loop               the training loop, with callbacks
watch              the callbacks: validation, best weights, history, checkpoints
layers             one more: what happens to every layer, and the events, through `chainrule.diagnose`'s watch
session            all of it together: start a run, or resume one
run, files         the run folder; files that appear whole or not at all
reporting          the run as a report
prediction         a finished run and new data
"""
