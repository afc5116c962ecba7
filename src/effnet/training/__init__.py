"""Training. Its core is pure: recipes, progressive stages and learning rates are values and functions of the step.

    fields         what a setting may hold, and the one check of it
    progressive    image size and regularisers by stage (V2 section 4.2)
    learning_rate  rate by epoch, scaled by batch and by layer
    recipe         every setting of a run, as one value
    recipe_file    recipes from files and flags
    catalog        recipes by name
    optimizer      RMSProp as TensorFlow computes it; parameter groups
    ema            averaged weights

The first six import no torch. Nothing is loaded until it is asked for by its module's name.
"""
