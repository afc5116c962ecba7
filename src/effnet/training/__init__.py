"""Training. Its core is pure: recipes, progressive stages, rates and the timeline are values and functions of the step.

    fit               from data to a trained model: the one door; `resume` goes on
    decisions         what is decided by data and device, with reasons
    trainer           the loop; `forward`, `staging`, `augmentation`, `judge` are its parts
    timeline          which images each step sees, at which settings

    fields            what a setting may hold, and the one check of it
    progressive       image size and regularisers by stage (V2 section 4.2)
    learning_rate     rate by epoch, scaled by batch and by layer
    recipe            every setting of a run, as one value
    recipe_file       recipes from files and flags
    catalog           recipes by name

    optimizer         RMSProp as TensorFlow computes it; parameter groups; `optimizer_state` saves it
    ema               averaged weights
    distributed       this process among its peers; `sharding` spreads weights (FSDP2)
    checkpoint        what a kill, a full disk or a flipped bit cannot harm
    interruption      SIGTERM and Ctrl-C as requests

    run_folder        what a run leaves behind; `run_report` writes its page
    events            what observers are told; `display` and `tracking` are observers

The first group imports torch, the second does not. Nothing is loaded until it is asked for by its module's name.
"""
