"""English."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.notation.prose import Part, Prose, listed, said
from chainrule.notation.words.words import DiagnosisLabels, Labels


class English:
    """What explain and verify say, in English."""

    language = "en"
    gap = " "
    colon = ": "
    labels = Labels(
        layer="Layer", quantity="quantity", shape="shape", before="before", after="after",
        forward="Forward", backward="Backward", update="Update", formula="formula", value="value",
        contribution="contribution", claim="claim", right="right", wrong="wrong", consequence="consequence",
        undecided="undecided", warning="warning", norm="norm", local="Local derivatives", loss="Loss",
        names="Names", routes="Routes", network="Network", close="close", module="module", enters="enters",
        leaves="leaves", parameters="parameters",
    )  # fmt: skip
    diagnosis = DiagnosisLabels(
        title="Gradients", healthy="healthy", findings="Findings", cause="cause", where="where",
        confidence="confidence",
        ledger="What changes the gradient's size, layer by layer", layers="Layers", operator="operator",
        gradient="gradient", log_gain="log gain", total="sum", silent="silent units",
        not_judged="not judged", measured="measured", predicted="predicted", vanishing_side="Vanishing",
        exploding_side="Exploding", depth="layers back from the output",
        relative="rms(δ), at the output 1", times_per_layer="{} per layer",
        log_scale="log scale", remedies="Remedies, tried on copies", remedy="remedy", reason="why",
        code="The change as code", recommended="recommended", improves="improves",
        training="Training, layer by layer", step="step",
        events="Seen for the first time", histograms="How steep each activation is",
        flat="flat", by_cause="What changes the gradient's size, over all layers",
        parameters="Parameters", glossary="Words", pictures="Pictures", colon=": ", comma=", ", comma_in_lists=", ",
        names={
            "cap": "slope cap", "saturation": "saturation", "normalisation": "normalisation",
            "attention": "attention", "gate": "gates", "join": "other routes", "other": "other", "weights": "weights",
            "weight": "Size of the weights", "gradient": "Size of the gradient", "activation": "Size of the results",
            "update": "Update, as a share of the weights", "flat": "Share of flat slopes",
            "dead": "Share of units without a gradient", "jump": "a step as large as the weights",
            "delta": "δ", "log gain of the mechanism": "log gain by this cause",
            "slope over its cap": "slope over the steepest", "rms of z": "rms(z)",
            "rms of the weight times sqrt(fan in)": "rms(W) √fan_in", "of": "of all", "batch": "first in batch",
            "update / weight, median": "update / weight (median)",
            "update / weight, largest": "update / weight (largest)",
            "decrease / loss, at most": "decrease / loss (at most)", "scale": "data or loss out of scale",
            "learning rate": "learning rate out of scale",
            "rms(dW) / (sqrt(n) rms(delta) rms(a))": "rms(dW) / (√n rms(δ) rms(a))",
        },
        mechanisms={
            "vanishing: activation cap": "The activation is nowhere steeper than its cap (1/4 for a sigmoid), and "
                "every layer multiplies the gradient by its slope. No initialisation takes that back.",
            "exploding: activation cap": "The activation is steeper than 1 in places, and every layer multiplies the "
                "gradient by its slope.",
            "vanishing: small weights": "The weights are so small that every layer passes on less gradient than "
                "it gets.",
            "exploding: large weights": "The weights are so large that signals or gradients grow from layer to layer.",
            "vanishing: recurrence": "The same weights are met at every time step: what shrinks a little at each step "
                "is gone after many.",
            "exploding: recurrence": "The same weights are met at every time step: what grows a little at each step is "
                "huge after many.",
            "vanishing: flat activations": "The activations are flat where they are applied: little gradient passes.",
            "vanishing: inactive units": "More units are switched off than the usual half, and no gradient passes a "
                "unit that is off.",
            "vanishing: other routes and operators": "What stands between the layers (scales, pooling, routes that "
                "cancel) shrinks the gradient more than weights and activations do.",
            "exploding: other routes and operators": "What stands between the layers (scales, routes that add up) "
                "makes the gradient grow more than weights and activations do.",
            "saturated: large inputs": "The inputs are so large that the first activation is flat where it is applied: "
                "hardly any gradient passes.",
            "saturated: large weights": "The weights are so large that their sums lie where the activation is flat: "
                "hardly any gradient passes.",
            "saturated: large sums": "The sums lie where the activation is flat, though no weight is large: hardly any "
                "gradient passes.",
            "dead units: negative bias": "Biases far below 0 switch the units off for every input, and a unit that is "
                "off does not learn.",
            "dead units: no positive input": "The units get no positive input from any sample, and a unit that is off "
                "does not learn.",
            "non-finite: in the data": "The inputs hold infinities or NaN before anything is computed.",
            "non-finite: in a parameter": "A parameter holds infinities or NaN before anything is computed.",
            "non-finite: made forward by {}": "This operator made infinity or NaN from finite numbers.",
            "non-finite: made backward by {}": "Its result is finite, its derivative is not. Where a mask hides the "
                "result, the gradient is 0 times infinity, which is NaN.",
            "scale: large inputs": "Layers and their initialisation are made for inputs of size 1.",
            "scale: small inputs": "Layers and their initialisation are made for inputs of size 1: so small ones "
                "hardly move the first weights.",
            "scale: large targets": "The targets are far larger than the outputs: the weights would have to "
                "grow a lot.",
            "scale: large loss": "The loss asks for far more than outputs and targets differ by: a sum instead of a "
                "mean, or a large factor.",
            "scale: small loss": "The loss asks for nearly nothing though it is not met: it was multiplied by "
                "something small.",
            "learning rate: steps as large as the weights": "The next step changes the weights by a large part of "
                "themselves: training jumps about.",
            "learning rate: steps too small to matter": "The next step hardly changes the weights: thousands of them "
                "change little.",
            "stationary point: the loss is met": "The gradient is small because there is nothing left to learn, not "
                "because it is lost on its way. Nothing needs to be mended.",
            "stationary point: the samples cancel": "Every sample has a gradient, but together they cancel: a minimum "
                "or another stationary point. Nothing is lost on the way.",
            "constant initialisation: zero weights": "With weights of 0 all units of a layer compute the same, get the "
                "same gradient and stay alike.",
            "constant initialisation: equal rows": "Units with equal weights compute the same, get the same gradient "
                "and stay alike.",
            "detached parameters: no route to the loss": "Their module ran, but nothing leads back to it from the "
                "loss: look for detach(), no_grad(), numbers taken out of tensors, or a result that is not used.",
            "unused parameters: its module never ran": "Their module was not called.",
            "frozen parameters: requires_grad is False": "They do not learn because requires_grad is False: as it "
                "should be in fine-tuning, a mistake elsewhere.",
        },
        families={
            "activation": "another activation", "normalisation": "normalisation", "residual": "residual connections",
            "initialisation": "another initialisation", "clipping": "gradient clipping", "leaky": "leaky ReLU",
            "bias": "biases of 0", "recurrent": "LSTM or GRU, orthogonal recurrent weights",
            "inputs": "standardised inputs", "targets": "standardised targets", "rate": "a smaller learning rate",
            "warm-up": "warm-up", "faster": "a larger learning rate", "operand": "an operand that is safe",
            "precision": "a wider float type",
        },
        terms={
            "z": ("z", "what a layer computes before its activation: W a + b"),
            "delta": ("δ", "dL/dz, the gradient that backpropagation hands from layer to layer"),
            "rms": ("rms", "root mean square: how large the elements of an array are"),
            "gain": ("log gain", "natural logarithm of rms(δ) of a layer over that of the layer above: −0.69 is half, "
                     "−2.30 a tenth, +0.69 twice; they add up over the layers"),
            "weights": ("weights", "the part of it that multiplying by Wᵀ has"),
            "cap": ("slope cap", "the part of the activation's steepest slope: log(1/4) = −1.39 for a sigmoid, "
                    "0 for tanh and ReLU"),
            "saturation": ("saturation", "the part that the activation loses because it is flatter than that where it "
                           "is applied; for ReLU, the units that are off"),
            "normalisation": ("normalisation", "the part of layer, batch or RMS norm"),
            "attention": ("attention", "the part of softmax and of products of two computed values"),
            "gate": ("gates", "the part of products, element by element, with another computed value"),
            "join": ("other routes", "what arrives on other routes than the one followed here, such as a residual "
                     "connection"),
            "other": ("other", "the part of everything else: pooling, dropout, scales"),
        },
    )  # fmt: skip

    # ---- forward -----------------------------------------------------------------------------------------------
    def weighted_sums(self, z: Part, a: Part) -> Prose:
        return said("{z} holds the weighted sums of {a}, a bias added to each.", z=z, a=a)

    def activated(self, a: Part, z: Part, function: Part | Prose) -> Prose:
        return said("{a} is the {function} of {z}, element by element.", a=a, z=z, function=function)

    def function_of(self, a: Part, z: Part, function: Part | Prose) -> Prose:
        return said("{a} is the {function} of {z}.", a=a, z=z, function=function)

    def probabilities(self, a: Part, z: Part) -> Prose:
        return said("{a} turns {z} into probabilities: each depends on every score, and they add up to 1.", a=a, z=z)

    def loss_measures(self, loss: Part, output: Part, label: Part) -> Prose:
        return said("{loss} measures how far {output} is from {label}.", loss=loss, output=output, label=label)

    def one_hot(self, t: Part, y: Part) -> Prose:
        return said("{t} has a 1 at the class {y}, and 0 elsewhere.", t=t, y=y)

    def computed(self, y: Part, inputs: Sequence[Part]) -> Prose:
        return said("{y} is computed from {inputs}.", y=y, inputs=_and(inputs))

    def recomputed(self, values: Sequence[Part]) -> Prose:
        return said("Computed again from what is given, as the run did not keep it: {values}.", values=_and(values))

    # ---- backward ----------------------------------------------------------------------------------------------
    def starts_at_one(self, loss: Part) -> Prose:
        return said("The derivative of {loss} by itself is 1: the backward pass starts here.", loss=loss)

    def only_through(self, of: Part, through: Part) -> Prose:
        return said("{of} reaches the loss only through {through}.", of=of, through=through)

    def through_several(self, of: Part, through: Sequence[Part]) -> Prose:
        return said("{of} reaches the loss through {through}; the contributions add up.", of=of, through=_and(through))

    def through_next_layer(self, of: Part, through: Part) -> Prose:
        return said(
            "A neuron acts through all neurons of the next layer, and the effects add up: "
            "{of} collects what {through} receives, along the weights.",
            of=of, through=through,
        )  # fmt: skip

    def slope_of_activation(self, of: Part, a: Part, slope: Part) -> Prose:
        return said(
            "{a} changes with {of} by the slope of the activation, {slope}, element by element.",
            of=of, a=a, slope=slope,
        )  # fmt: skip

    def cross_terms(self, a: Part, z: Part) -> Prose:
        return said(
            "Every output of softmax depends on every score: the derivative of {a} by {z} has cross terms, "
            "and each score adds up its effects on all outputs.",
            a=a, z=z,
        )  # fmt: skip

    def cross_terms_cancel(self, z: Part, a: Part, label: Part) -> Prose:
        return said(
            "With the cross entropy the cross terms of softmax add up to the difference of {a} and {label}: "
            "that is the derivative by {z}.",
            a=a, label=label, z=z,
        )  # fmt: skip

    def outer_product(self, of: Part, delta: Part, a: Part) -> Prose:
        return said(
            "The weight from neuron k to neuron j multiplies element k of {a} and adds to element j of the sum: its "
            "derivative is element j of {delta} times element k of {a}. All of them make the outer product, of the "
            "shape of {of}.",
            of=of, delta=delta, a=a,
        )  # fmt: skip

    def bias_passes_on(self, of: Part, z: Part) -> Prose:
        return said("{of} is a term of {z}, so that the derivative passes on unchanged.", of=of, z=z)

    def sum_over_batch(self, of: Part) -> Prose:
        return said("All samples of the batch share {of}: their contributions add up.", of=of)

    def derivative_of_loss(self, of: Part) -> Prose:
        return said("{of} enters the loss directly.", of=of)

    def does_not_reach(self, of: Part, loss: Part) -> Prose:
        return said("{loss} does not depend on {of}: the derivative is 0.", of=of, loss=loss)

    def own_trace(self) -> Prose:
        return said("A scalar is its own trace.")

    def trace_of_product(self) -> Prose:
        return said("The trace of a product does not change when its factors change places in a circle.")

    def trace_of_transpose(self) -> Prose:
        return said("A matrix and its transpose have the same trace.")

    def transpose_of_product(self) -> Prose:
        return said("The transpose of a product is the product of the transposes, in reverse order.")

    def factor_moves_over(self) -> Prose:
        return said(
            "Under the trace an elementwise factor may stand with either side: it multiplies the same elements."
        )

    def diagonal_sign(self, sign: Part) -> Prose:
        return said("{sign} makes a diagonal matrix of a column.", sign=sign)

    def checked(self, deviation: Part) -> Prose:
        return said(
            "Checked with numbers: both sides agree, up to a relative difference of {deviation}.", deviation=deviation
        )

    def checked_at_kink(self, deviation: Part, left: Part, right: Part) -> Prose:
        return said(
            "Both sides agree, up to a relative difference of {deviation}. The loss has a kink here: where this "
            "quantity moves on, it changes at a rate of {right}, and coming from the other side at {left}.",
            deviation=deviation, left=left, right=right,
        )  # fmt: skip

    def short_for(self, delta: Part, rate: Part) -> Prose:
        return said("{delta} is short for {rate}.", delta=delta, rate=rate)

    def left_out_terms(self, dots: Part) -> Prose:
        return said("{dots} says how many terms of a sum are left out; full=True shows them.", dots=dots)

    def elementwise_sign(self, sign: Part) -> Prose:
        return said("{sign} multiplies element by element.", sign=sign)

    # ---- differentials, routes, and what is not shown --------------------------------------------------------------
    def differential_of(self, y: Part) -> Prose:
        return said("The differential of {y}.", y=y)

    def chain_of_differentials(self, through: Sequence[Part]) -> Prose:
        return said("The loss moves as {through} moves.", through=_and(through))

    def put_in(self) -> Prose:
        return said("The differential is put in.")

    def equal_calls(self, first: str, last: str, kind: str, count: int) -> Prose:
        if first == last:
            again = "{first}: {kind}, called {count} times, alike but for the numbers."
            return said(again, first=first, kind=kind, count=str(count))
        return said(
            "{first} to {last}: {count} times {kind}, alike but for the numbers.",
            first=first, last=last, kind=kind, count=str(count),
        )  # fmt: skip

    def step_count(self, count: int) -> Prose:
        return said("{count} step" if count == 1 else "{count} steps", count=str(count))

    def part_of(self, rate: Part) -> Prose:
        return said("part of {rate}", rate=rate)

    def shown_alone(self, path: str) -> Prose:
        return said('The others are shown by .within("{path}").', path=path)

    def modules_closed(self, path: str) -> Prose:
        return said(
            'The steps inside of modules are not shown: .within("{path}") shows those of one module, full=True all.',
            path=path,
        )

    def derivation_of(self, rates: Sequence[Part]) -> Prose:
        return said("Derivation of {rates}", rates=_and(rates))

    def follows_from(self, loss: Part, value: Part) -> Prose:
        return said("The loss is {loss} = {value}.", loss=loss, value=value)

    def reads_network(self) -> Prose:
        return said(
            "Dashed boxes are given, those with a thick frame are wanted; along the coloured lines the derivative goes "
            "back. Every box and every line opens its formula and its numbers."
        )

    def means_of_blocks(self, size: Part) -> Prose:
        return said("One square is the mean of up to {size} elements.", size=size)

    def left_out(self, count: int) -> Prose:
        return said("{count} more steps are not shown; full=True shows them.", count=str(count))

    def lines_left_out(self, count: int) -> Prose:
        return said("{count} more lines are not shown; full=True shows them.", count=str(count))

    def repeated(self, first: Part, last: Part, count: int) -> Prose:
        return said(
            "From {first} to {last} these steps come {count} times, alike but for the numbers: shown once.",
            first=first, last=last, count=str(count),
        )  # fmt: skip

    def routes_add_up(self, weight: Part, count: int, total: Part) -> Prose:
        if count == 1:
            only = "{weight} reaches the loss on one route, which contributes {total}."
            return said(only, weight=weight, total=total)
        return said(
            "{weight} reaches the loss on {count} routes; what they contribute adds up to {total}.",
            weight=weight, count=str(count), total=total,
        )  # fmt: skip

    def routes_left_out(self, count: int, share: Part) -> Prose:
        return said("{count} more routes contribute {share} together.", count=str(count), share=share)

    def matches_engine(self) -> Prose:
        return said("The engine's backward() gives the same derivatives.")

    # ---- what a gradient says ----------------------------------------------------------------------------------
    def increase(self, weight: Part) -> Prose:
        return said("The derivative is negative: a larger {weight} makes the loss smaller.", weight=weight)

    def decrease(self, weight: Part) -> Prose:
        return said("The derivative is positive: a smaller {weight} makes the loss smaller.", weight=weight)

    def stationary(self) -> Prose:
        return said(
            "The derivative is 0 because the loss is flat here. That is a stationary point, not a vanishing gradient."
        )

    # ---- update ------------------------------------------------------------------------------------------------
    def step_against_gradient(self, weight: Part, rate: Part) -> Prose:
        return said("{weight} moves against its derivative, by the learning rate {rate}.", weight=weight, rate=rate)

    def before_and_after(self, weight: Part) -> Prose:
        return said("On the right stands {weight} as it was before the step.", weight=weight)

    def momentum(self, velocity: Part) -> Prose:
        return said("{velocity} remembers earlier derivatives, the older the less.", velocity=velocity)

    def first_moment(self, moment: Part) -> Prose:
        return said("{moment} is a running mean of the derivatives: the direction.", moment=moment)

    def second_moment(self, moment: Part) -> Prose:
        return said("{moment} is a running mean of their squares: the scale.", moment=moment)

    def bias_correction(self, step: Part) -> Prose:
        return said("Running means start at 0; step {step} divides that bias out.", step=step)

    def weight_decay(self, weight: Part) -> Prose:
        return said("Weight decay pulls {weight} towards 0.", weight=weight)

    def new_state(self, state: Part) -> Prose:
        return said("{state} is what the optimiser remembers for its next step.", state=state)

    def step_of(self, optimizer: Part, weight: Part, step: int) -> Prose:
        return said("{optimizer}: step {step} of {weight}", optimizer=optimizer, weight=weight, step=str(step))

    # ---- verdicts ----------------------------------------------------------------------------------------------
    def all_right(self, count: int) -> Prose:
        return said("The claim is right." if count == 1 else "All {count} claims are right.", count=str(count))

    def first_wrong(self, claim: Part, line: int) -> Prose:
        return said("The first wrong step is {claim}, in line {line}.", claim=claim, line=str(line))

    def right(self, claim: Part) -> Prose:
        return said("{claim} is right.", claim=claim)

    def wrong(self, claim: Part) -> Prose:
        return said("{claim} is wrong.", claim=claim)

    def consequence_of(self, claim: Part, of: Part) -> Prose:
        return said("{claim} is right given your {of}; it is {of} that is wrong.", claim=claim, of=of)

    def undecided(self, claim: Part) -> Prose:
        return said("{claim} cannot be decided: the right derivative is not finite here.", claim=claim)

    def correct_is(self, claim: Part, formula: Part) -> Prose:
        return said("It should be {claim} = {formula}.", claim=claim, formula=formula)

    def cannot_tell_apart(self, one: Part, other: Part) -> Prose:
        return said("On these data {one} and {other} cannot be told apart.", one=one, other=other)

    def can_be_read_as(self, others: Sequence[Part]) -> Prose:
        return said("The same slip can be read as: {others}.", others=listed(list(others), ", ", ", "))

    def no_known_mistake(self) -> Prose:
        return said("No known mistake fits. This is the pattern of the error:")

    def no_known_name(self) -> Prose:
        return said("No known mistake fits.")

    def wrong_shape(self, claim: Part, got: Part, wanted: Part) -> Prose:
        return said("Your {claim} has the shape {got}; it should have {wanted}.", claim=claim, got=got, wanted=wanted)

    def cannot_be_computed(self, claim: Part, reason: Part) -> Prose:
        return said("{claim} cannot be computed: {reason}.", claim=claim, reason=reason)

    def shapes_do_not_fit(self, claim: Part, shapes: Part) -> Prose:
        return said("{claim} cannot be computed, its shapes do not fit: {shapes}.", claim=claim, shapes=shapes)

    def in_line(self, line: int) -> Prose:
        return said("line {line}", line=str(line))

    def factor_of_outer_product(self, claim: Part) -> Prose:
        return said(
            "{claim} is right as a factor of an outer product: the chain rule multiplies by its transpose, as a "
            "matrix, not element by element.",
            claim=claim,
        )

    def exactly(self, claim: Part, value: Part) -> Prose:
        return said("Exactly, {claim} is {value}.", claim=claim, value=value)

    def at_a_kink(self) -> Prose:
        return said("The given point is at a kink, where the derivative is a convention; near it the claim is right.")

    def right_by_chance(self) -> Prose:
        return said("It is right for the given numbers by chance, and wrong for others.")

    def spelled_out_again(self, claim: Part, of: Part) -> Prose:
        return said("{claim} repeats the slip of {of}.", claim=claim, of=of)

    def held_on_redraws(self, count: int) -> Prose:
        return said("The verdicts hold at the given values and on {count} other draws.", count=str(count))

    def perturbed(self, givens: Sequence[Part]) -> Prose:
        return said(
            "To tell a right formula from a coincidence, the numbers of {givens} were varied too.", givens=_and(givens)
        )

    # ---- patterns ----------------------------------------------------------------------------------------------
    def constant_ratio(self, ratio: Part) -> Prose:
        return said("Every element is {ratio} times the right one.", ratio=ratio)

    def opposite_sign(self) -> Prose:
        return said("Every element has the opposite sign.")

    def transposed(self) -> Prose:
        return said("The elements are right, but transposed.")

    def wrong_where(self, condition: Part) -> Prose:
        return said("It is wrong only where {condition}.", condition=condition)

    def zero_where(self, condition: Part) -> Prose:
        return said("It is 0 where {condition}, and should not be.", condition=condition)

    def constant_difference(self, difference: Part) -> Prose:
        return said("Every element is off by {difference}.", difference=difference)

    def share_wrong(self, wrong: int, of: int) -> Prose:
        return said("{wrong} of {of} elements are wrong.", wrong=str(wrong), of=str(of))

    def no_pattern(self) -> Prose:
        return said("The errors of the elements have nothing visible in common.")

    # ---- warnings and grading ----------------------------------------------------------------------------------
    def unused_given(self, given: Part, line: int) -> Prose:
        return said("{given}, given in line {line}, is used nowhere.", given=given, line=str(line))

    def not_finite(self, name: Part) -> Prose:
        return said("{name} is not finite.", name=name)

    def not_claimed(self, claim: Part) -> Prose:
        return said("{claim} is not claimed.", claim=claim)

    def points(self, got: Part, of: Part) -> Prose:
        return said("{got} of {of} points.", got=got, of=of)

    def counted_once(self, first: Part) -> Prose:
        return said("Follows from {first}: no points are lost a second time.", first=first)

    def partial_credit(self, mistake: Part) -> Prose:
        return said("Part of the points, for one known slip: {mistake}.", mistake=mistake)

    # ---- diagnose ----------------------------------------------------------------------------------------------
    def gradient_shrinks(self, layer: Part, factor: Part, depth: int) -> Prose:
        return said(_way_back(depth) + "shrinks by a factor of {factor}.", layer=layer, factor=factor, depth=str(depth))

    def gradient_grows(self, layer: Part, factor: Part, depth: int) -> Prose:
        return said(_way_back(depth) + "grows by a factor of {factor}.", layer=layer, factor=factor, depth=str(depth))

    def gradient_changes(self, layer: Part, factor: Part, depth: int) -> Prose:
        keeps = "keeps its order of magnitude (×{factor})."
        return said(_way_back(depth) + keeps, layer=layer, factor=factor, depth=str(depth))

    def gradient_ends(self, layer: Part, op: Part, where: Part) -> Prose:
        place = " {where}" if where else ""
        return said("From layer {layer} down the gradient is exactly 0, lost at {op}" + place + ".",
                    layer=layer, op=op, where=where)  # fmt: skip

    def gradient_underflows(self, layer: Part, op: Part, where: Part) -> Prose:
        place = " {where}" if where else ""
        return said("From layer {layer} down it is too small for its float type, and becomes exactly 0, at {op}" + place
                    + ".", layer=layer, op=op, where=where)  # fmt: skip

    def gradient_not_finite(self, layer: Part, op: Part, where: Part) -> Prose:
        place = " {where}" if where else ""
        return said("From layer {layer} down the gradient is not finite, first at {op}" + place + ".",
                    layer=layer, op=op, where=where)  # fmt: skip

    def not_finite_in_inputs(self) -> Prose:
        return said("The inputs are not finite.")

    def not_finite_in_parameter(self, name: Part) -> Prose:
        return said("The parameter {name} is not finite.", name=name)

    def not_finite_forward(self, op: Part, where: Part) -> Prose:
        place = " {where}" if where else ""
        return said("The first number that is not finite is a result of {op}" + place + ".", op=op, where=where)

    def not_finite_backward(self, op: Part, where: Part) -> Prose:
        place = " {where}" if where else ""
        return said("The first number that is not finite is a derivative of {op}" + place + ".", op=op, where=where)

    def inside(self, module: Part, line: Part) -> Prose:
        at = "at {line}" if line else ""
        return said(" ".join(filter(None, ("in {module}" if module else "", at))), module=module, line=line)

    def share_of_change(self, percent: Part) -> Prose:
        return said("{percent} of the change", percent=percent)

    def may_mend(self, families: Sequence[Part]) -> Prose:
        return said("May help: {families}.", families=listed(list(families), ", ", ", "))

    def tried_with(self) -> Prose:
        return said("What helps is measured on copies by --try, in Python by cr.diagnose.remedies.")

    def recommends(self, remedy: Part) -> Prose:
        return said("Recommended: {remedy}.", remedy=remedy)

    def improves_gain(self, before: Part, after: Part) -> Prose:
        return said("Log gain over all layers {after} instead of {before}.", before=before, after=after)

    def improves_loss(self, before: Part, after: Part, steps: int) -> Prose:
        return said(
            "Loss after {steps} steps {after} instead of {before}.", before=before, after=after, steps=str(steps)
        )

    def no_finding(self) -> Prose:
        return said("Nothing was found that keeps the gradients from doing their work.")

    def learning_rate_not_judged(self) -> Prose:
        return said("The learning rate is not judged: no optimizer was given.")

    def reads_ledger(self) -> Prose:
        return said(
            "To the left the gradient shrinks from the layer above to this one, to the right it grows. The causes add "
            "up to the tick, exactly."
        )

    def reads_panels(self) -> Prose:
        return said(
            "The size of the gradient δ at each layer, beside that at the output. The thin lines are what a constant "
            "factor per layer makes."
        )

    def in_other_panel(self) -> Prose:
        return said("This network is in the other panel.")

    def reads_histograms(self) -> Prose:
        return said(
            "How many of the slopes are how steep, as a share of the steepest that the activation has: on the left no "
            "gradient passes. Flat: below 5%."
        )

    def reads_layers(self) -> Prose:
        return said(
            "From the output back. z: a layer's sums; δ = dL/dz; log gain: −0.69 halves δ, −2.30 leaves a tenth."
        )

    def reads_remedies(self) -> Prose:
        return said(
            "A log gain near 0 keeps the gradient's size on its way back. Where training is compared, a remedy "
            "improves if the loss ends 10% below that of the untouched copy and below where both began."
        )

    def reads_parameters(self) -> Prose:
        return said("w: a parameter; Δw: what the next step adds to it, usually about a thousandth of it.")

    def layers_together(self, count: int) -> Prose:
        return said("Of neighbouring layers {count} share a bar, in which their gains are added.", count=str(count))

    def watched(self, steps: int, looks: int, share: Part) -> Prose:
        return said(
            "{looks} looks in {steps} steps, which took {share} of the time.",
            steps=str(steps), looks=str(looks), share=share,
        )  # fmt: skip

    def reads_heat_map(self) -> Prose:
        return said("Each column is a look, each row a layer; the stronger the shade, the larger the value.")

    def nothing_helps(self) -> Prose:
        return said("Nothing that was tried improved it, so nothing is recommended.")

    def nothing_to_try(self) -> Prose:
        return said("There is no remedy to try for what was found.")

    def more_findings(self, count: int) -> Prose:
        return said("{count} more findings are in the report.", count=str(count))


def _way_back(depth: int) -> str:
    over = "{depth} layers" if depth != 1 else "{depth} layer"
    return f"On its way back from the output to layer {{layer}}, over {over}, the gradient "


def _and(parts: Sequence[Part]) -> Prose:
    return listed(list(parts), ", ", ", " if parts[-1:] == ["…"] else " and ")
