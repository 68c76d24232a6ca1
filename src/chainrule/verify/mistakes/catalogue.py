"""The catalogue of mistakes: what each is called, what it does to a formula, what betrays it, and how to mend it.

The order counts: of mistakes that give the same formula, the first is named. docs/mistakes.md is written from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from chainrule.verify.mistakes import factors, products, routes, slopes, sums, symbols
from chainrule.verify.mistakes.examples import (
    BATCH,
    CLASSES,
    ONE_SAMPLE,
    RECURRENCE,
    RESIDUAL,
    SCALE,
    SQUARE,
    THREE_SAMPLES,
    example,
)  # fmt: skip
from chainrule.verify.mistakes.site import Mutation, Site


@dataclass(frozen=True)
class Text:
    """A sentence in both languages."""

    en: str
    zh: str

    def said(self, lang: str) -> str:
        """In English ("en") or Chinese ("zh")."""
        return self.zh if lang == "zh" else self.en


@dataclass(frozen=True)
class Mistake:
    """One way to get a derivative wrong.

    Attributes:
        name: what it is called, also in reports that programs read.
        titled: its name in both languages.
        about: what was done, in a sentence.
        wrong: the formula with the mistake, in the plain notation.
        right: the formula as it should be.
        ratio: claimed / right, element by element, or what else betrays the mistake.
        cure: how to get it right.
        example: a derivation file with this mistake in its only claim.
        mutations: what it does at a place of a right step.
        common: often met, and therefore tried in pairs.
        is_number: it multiplies a whole step by a number.
    """

    name: str
    titled: Text
    about: Text
    wrong: str
    right: str
    ratio: Text
    cure: Text
    example: str
    mutations: Callable[[Site], Iterator[Mutation]]
    common: bool = False
    is_number: bool = False

    def title(self, lang: str) -> str:
        """What it is called in a language."""
        return self.titled.said(lang)

    def summary(self, lang: str) -> str:
        """What was done."""
        return self.about.said(lang)

    def mend(self, lang: str) -> str:
        """How to get it right."""
        return self.cure.said(lang)

    @property
    def formula(self) -> str:
        """The wrong formula and the right one."""
        return f"{self.wrong}  for  {self.right}"


def _mistake(
    name: str,
    zh: str,
    about: tuple[str, str],
    wrong: str,
    right: str,
    ratio: tuple[str, str] | str,
    cure: tuple[str, str],
    example: str,
    mutations: Callable[[Site], Iterator[Mutation]],
    *,
    common: bool = False,
    is_number: bool = False,
) -> Mistake:
    betrays = Text(ratio, ratio) if isinstance(ratio, str) else Text(*ratio)
    return Mistake(
        name, Text(name, zh), Text(*about), wrong, right, betrays, Text(*cure), example, mutations, common, is_number
    )


MISTAKES: tuple[Mistake, ...] = (
    # ---- the slope of an activation ---------------------------------------------------------------------------------
    _mistake(
        "activation for its derivative", "用激活值代替激活函数的导数",
        ("The activation a stands where its derivative f'(z) belongs.", "在应当写导数 f'(z) 的地方写了激活值 a。"),
        "(W2.T @ dL/dz2) * a1", "(W2.T @ dL/dz2) * sigmoid'(z1)", "sigmoid: 1/(1 - a)",
        ("Differentiate the activation at z: for the sigmoid, a * (1 - a).",
         "在 z 处对激活函数求导：对 sigmoid 是 a * (1 - a)。"),
        example(ONE_SAMPLE, "dL/dz1 = (W2.T @ dL/dz2) * a1"), slopes.activation_for_its_derivative, common=True,
    ),
    _mistake(
        "derivative at a instead of z", "导数取在 a 而不是 z 处",
        ("The derivative of the activation is taken at its result a, not at its argument z.",
         "激活函数的导数取在输出 a 处，而不是自变量 z 处。"),
        "(W2.T @ dL/dz2) * sigmoid'(a1)", "(W2.T @ dL/dz2) * sigmoid'(z1)", "f'(a)/f'(z)",
        ("f' takes what f takes: z. The form a * (1 - a) is already sigmoid'(z).",
         "f' 的自变量与 f 相同，是 z。a * (1 - a) 已经是 sigmoid'(z)。"),
        example(ONE_SAMPLE, "dL/dz1 = (W2.T @ dL/dz2) * sigmoid'(a1)"), slopes.at_the_activation, common=True,
    ),
    _mistake(
        "derivative at the wrong layer", "导数取自错误的层",
        ("The derivative of the activation is that of another layer.", "激活函数的导数取自另一层。"),
        "(W3.T @ dL/dz3) * sigmoid'(z3)", "(W3.T @ dL/dz3) * sigmoid'(z2)", "f'(z3)/f'(z2)",
        ("dL/dz of a layer has the derivative of that layer's own activation.",
         "一层的 dL/dz 含有该层自己的激活函数的导数。"),
        example(SQUARE, "dL/dz2 = (W3.T @ dL/dz3) * sigmoid'(z3)"), slopes.at_the_wrong_layer, common=True,
    ),
    _mistake(
        "forgotten mask", "漏掉掩码",
        ("The gradient also goes through where it is stopped: inactive units, clipped or masked values.",
         "梯度通过了本应被截断的地方：未激活的单元、被截断或被掩盖的值。"),
        "W2.T @ dL/dZ2", "(W2.T @ dL/dZ2) * (Z1 > 0)", ("1 where z > 0; not 0 elsewhere", "z > 0 处为 1；其余处不为 0"),
        ("Multiply by the mask: 1 where the value passed, 0 where it did not.", "乘上掩码：通过处为 1，未通过处为 0。"),
        example(BATCH, "dL/dZ1 = W2.T @ dL/dZ2"), factors.forgotten_mask, common=True,
    ),
    _mistake(
        "inverted mask", "掩码取反",
        ("The mask lets through what it should stop.", "掩码放行了应当截断的部分。"),
        "(W2.T @ dL/dZ2) * (Z1 <= 0)", "(W2.T @ dL/dZ2) * (Z1 > 0)", ("0 where z > 0", "z > 0 处为 0"),
        ("relu passes where z > 0, and so does its gradient.", "relu 在 z > 0 处通过，梯度也在那里通过。"),
        example(BATCH, "dL/dZ1 = (W2.T @ dL/dZ2) * (Z1 <= 0)"), factors.inverted_mask,
    ),
    _mistake(
        "softmax treated as elementwise", "把 softmax 当作逐元素函数",
        ("Each output of the softmax is taken to depend on its own input alone.",
         "以为 softmax 的每个输出只依赖自己的输入。"),
        "dL/dp * p * (1 - p)", "p * (dL/dp - sum(dL/dp * p))", ("differs from element to element", "逐元素不同"),
        ("dp_k/dz_j = p_k (1{k=j} - p_j): the cross terms belong to the sum.",
         "dp_k/dz_j = p_k (1{k=j} - p_j)：求和中包含交叉项。"),
        example(CLASSES, "dL/dz = dL/dp * p * (1 - p)"), sums.softmax_as_elementwise, common=True,
    ),
    _mistake(
        "log of the wrong thing", "对数取错了对象",
        ("The logarithm, or its derivative 1/p, is taken of something else.", "对数或其导数 1/p 取错了对象。"),
        "-t / z", "-t / p", "p/z",
        ("log p has the derivative 1/p, with p the probability in the loss.", "log p 的导数是 1/p，p 是损失中的概率。"),
        example(CLASSES, "dL/dp = -t / z"), slopes.log_of_the_wrong_thing,
    ),
    # ---- matrix products --------------------------------------------------------------------------------------------
    _mistake(
        "swapped factors", "因子次序颠倒",
        ("The factors of a matrix product stand in the wrong order.", "矩阵乘积的因子次序颠倒。"),
        "dL/dz2 @ W2.T", "W2.T @ dL/dz2", ("none; an error of shape unless square", "无固定比值；非方阵时形状不符"),
        ("A matrix product does not commute: the matrix of dz/da stands where the chain rule puts it.",
         "矩阵乘积不可交换：dz/da 的矩阵按链式法则的位置书写。"),
        example(THREE_SAMPLES, "dL/da1 = dL/dz2 @ W2.T"), products.swapped_factors, common=True,
    ),
    _mistake(
        "missing transpose", "缺少转置",
        ("A matrix is not transposed that should be, or the other way round.", "该转置的矩阵没有转置，或相反。"),
        "(W3 @ dL/dz3) * sigmoid'(z2)", "(W3.T @ dL/dz3) * sigmoid'(z2)",
        ("none; an error of shape unless square", "无固定比值；非方阵时形状不符"),
        ("z = W a sends the derivative back through W.T.", "z = W a 的导数经 W.T 传回。"),
        example(SQUARE, "dL/dz2 = (W3 @ dL/dz3) * sigmoid'(z2)"), products.missing_transpose, common=True,
    ),
    _mistake(
        "outer product in the wrong order", "外积的次序颠倒",
        ("The gradient of a weight is transposed: a delta^T for delta a^T.",
         "权重的梯度被转置：写成了 a delta^T 而不是 delta a^T。"),
        "x @ dL/dz1.T", "dL/dz1 @ x.T", ("the transpose of the right value", "正确值的转置"),
        ("dL/dW has the shape of W: rows as delta, columns as a.", "dL/dW 与 W 同形：行数同 delta，列数同 a。"),
        example(ONE_SAMPLE, "dL/dW1 = x @ dL/dz1.T"), products.outer_product_in_the_wrong_order,
    ),
    # ---- sums -------------------------------------------------------------------------------------------------------
    _mistake(
        "missing sum over the batch", "漏掉对样本求和",
        ("The contributions of the samples are not added up.", "各样本的贡献没有相加。"),
        "dL/dZ2", "sum(dL/dZ2, axis=1)", ("an error of shape, or one sample's share", "形状不符，或只有一个样本的贡献"),
        ("A parameter serves every sample: sum over the batch.", "参数作用于每个样本：对批求和。"),
        example(BATCH, "dL/db2 = dL/dZ2"), sums.missing_sum_over_the_batch, common=True,
    ),
    _mistake(
        "missing sum over time", "漏掉对时间求和",
        ("A parameter that every time step uses receives the gradient of some steps alone.",
         "每个时间步都使用的参数只得到部分时间步的梯度。"),
        "(dL/dh3 * (1 - h3**2)) @ x3.T", "the sum of this over all time steps", ("one term of the sum",
         "只有求和中的一项"),
        ("Add the contributions of all time steps.", "把所有时间步的贡献相加。"),
        example(RECURRENCE, "dL/dU = (dL/dh3 * (1 - h3**2)) @ x3.T"), routes.missing_sum_over_time, common=True,
    ),
    _mistake(
        "overwritten instead of added", "覆盖而不是累加",
        ("Of several contributions to a gradient, some are lost: = for +=.",
         "梯度的若干贡献丢失：写成了 = 而不是 +=。"),
        "W.T @ dL/dz", "dL/dy + W.T @ dL/dz", ("one route's share", "只有一条路径的贡献"),
        ("A quantity used twice receives from both uses: add them.", "被使用两次的量从两处得到梯度：相加。"),
        example(RESIDUAL, "dL/da = W.T @ dL/dz"), routes.overwritten_instead_of_added, common=True,
    ),
    _mistake(
        "missing sum over neurons", "漏掉对神经元求和",
        ("One neuron of the next layer is taken for all of them.", "只取了下一层的一个神经元。"),
        "W2[0, :].T * dL/dz2[0]", "W2.T @ dL/dz2", ("one term of the sum", "只有求和中的一项"),
        ("A neuron acts through every neuron of the next layer, and the effects add up.",
         "一个神经元通过下一层的每个神经元起作用，各项相加。"),
        example(ONE_SAMPLE, "dL/da1 = W2[0:1, :].T @ dL/dz2[0:1, :]"), sums.missing_sum_over_neurons,
    ),
    _mistake(
        "missing sum over a broadcast axis", "漏掉对广播轴求和",
        ("What was stretched over an axis receives its gradient without the sum over that axis.",
         "被广播的量的梯度没有沿广播的轴求和。"),
        "dL/dy * x", "sum(dL/dy * x)", ("an error of shape", "形状不符"),
        ("Stretching forward is a sum backward: the gradient has the shape of the quantity.",
         "前向广播，反向求和：梯度与该量同形。"),
        example(SCALE, "dL/dg = dL/dy * x"), sums.missing_sum_over_a_broadcast_axis,
    ),
    _mistake(
        "double counting", "重复计算",
        ("One of several contributions is counted twice.", "某一贡献被计算了两次。"),
        "dL/dy + 2 * W.T @ dL/dz", "dL/dy + W.T @ dL/dz", ("1 + the share of that route", "1 加上该路径所占的份额"),
        ("Each use of a quantity contributes once.", "每次使用只贡献一次。"),
        example(RESIDUAL, "dL/da = dL/dy + 2 * W.T @ dL/dz"), routes.double_counting,
    ),
    # ---- elementwise and matrix products ----------------------------------------------------------------------------
    _mistake(
        "elementwise for matrix product", "用逐元素乘积代替矩阵乘积",
        ("* stands where @ belongs.", "应当写 @ 的地方写了 *。"),
        "W2.T * dL/dz2.T", "W2.T @ dL/dz2", ("the terms are not added up", "各项没有相加"),
        ("dz/da is a matrix: multiply with @, which sums over the neurons.",
         "dz/da 是矩阵：用 @ 相乘，它对神经元求和。"),
        example(ONE_SAMPLE, "dL/da1 = W2.T * dL/dz2.T"), products.elementwise_for_matrix_product,
    ),
    _mistake(
        "diag forgotten", "漏掉 diag",
        ("The derivatives of an elementwise function are multiplied as a matrix, without diag.",
         "逐元素函数的导数被当作矩阵相乘，漏了 diag。"),
        "(a2 - t) @ sigmoid'(z2).T", "diag(sigmoid'(z2)) @ (a2 - t)", ("a matrix for a column", "得到矩阵而不是列向量"),
        ("Multiply elementwise, or by diag(f'(z)).", "逐元素相乘，或乘以 diag(f'(z))。"),
        example(ONE_SAMPLE, "dL/dz2 = (a2 - t) @ sigmoid'(z2).T"), products.diag_forgotten,
    ),
    _mistake(
        "matrix product for elementwise", "用矩阵乘积代替逐元素乘积",
        ("@ stands where * belongs.", "应当写 * 的地方写了 @。"),
        "(-t / p).T @ log(p)", "(-t / p) * log(p)", ("one number, or a matrix, for a column",
         "得到一个数或矩阵而不是列向量"),
        ("An elementwise function has an elementwise derivative: multiply with *.",
         "逐元素函数的导数也逐元素：用 * 相乘。"),
        example(CLASSES, "dL/dp = -t.T @ (1 / p)"), products.matrix_product_for_elementwise,
    ),
    # ---- one quantity for another -----------------------------------------------------------------------------------
    _mistake(
        "target for prediction", "用目标值代替预测值",
        ("The target stands where the prediction belongs.", "应当写预测值的地方写了目标值。"),
        "(a2 - t) * t * (1 - t)", "(a2 - t) * a2 * (1 - a2)", "t(1 - t)/(a(1 - a))",
        ("Derivatives are taken where the network is: at its prediction.", "导数取在网络的预测值处。"),
        example(SQUARE, "dL/dz3 = (a3 - t) * t * (1 - t)"), symbols.target_for_prediction,
    ),
    _mistake(
        "previous activation of the wrong layer", "前一层激活值取错了层",
        ("The activation of another layer stands in the outer product.", "外积中的激活值取自另一层。"),
        "dL/dz2 @ a2.T", "dL/dz2 @ a1.T", "a2/a1",
        ("dL/dW of a layer has the activation that the layer reads.", "一层的 dL/dW 含有该层读入的激活值。"),
        example(SQUARE, "dL/dW2 = dL/dz2 @ a2.T"), symbols.previous_activation_of_the_wrong_layer, common=True,
    ),
    _mistake(
        "W of the wrong layer", "权重取错了层",
        ("The weights of another layer stand in the recursion.", "递推式中的权重取自另一层。"),
        "(W2.T @ dL/dz3) * sigmoid'(z2)", "(W3.T @ dL/dz3) * sigmoid'(z2)",
        ("none; an error of shape unless the layers agree", "无固定比值；各层不同形时形状不符"),
        ("Back from layer l+1 to l goes W of layer l+1.", "从第 l+1 层传回第 l 层用第 l+1 层的 W。"),
        example(SQUARE, "dL/dz2 = (W2.T @ dL/dz3) * sigmoid'(z2)"), symbols.weight_of_the_wrong_layer, common=True,
    ),
    _mistake(
        "formula of a at z", "把关于 a 的公式代入了 z",
        ("z is put into the formula in a: z * (1 - z).", "把 z 代入了关于 a 的公式：z * (1 - z)。"),
        "(W2.T @ dL/dz2) * z1 * (1 - z1)", "(W2.T @ dL/dz2) * a1 * (1 - a1)", "z(1 - z)/(a(1 - a))",
        ("a * (1 - a) is sigmoid'(z) written with a = sigmoid(z).",
         "a * (1 - a) 是用 a = sigmoid(z) 写出的 sigmoid'(z)。"),
        example(ONE_SAMPLE, "dL/dz1 = (W2.T @ dL/dz2) * z1 * (1 - z1)"), slopes.formula_in_z,
    ),
    _mistake(
        "z for a", "用 z 代替 a",
        ("The pre-activation z stands where the activation a belongs.", "应当写激活值 a 的地方写了 z。"),
        "dL/dz2 @ z1.T", "dL/dz2 @ a1.T", "z1/a1",
        ("The next layer reads a = f(z), so its weights' gradient has a.", "下一层读入的是 a = f(z)，权重的梯度含 a。"),
        example(ONE_SAMPLE, "dL/dW2 = dL/dz2 @ z1.T"), symbols.z_for_a, common=True,
    ),
    _mistake(
        "a for z", "用 a 代替 z",
        ("The activation a stands where the pre-activation z belongs.", "应当写 z 的地方写了激活值 a。"),
        "exp(-a2) / (1 + exp(-a2))**2", "exp(-z2) / (1 + exp(-z2))**2", "f'(a)/f'(z)",
        ("Put z into a formula in z.", "关于 z 的公式代入 z。"),
        example(SQUARE.replace("a2 = sigmoid(z2)", "a2 = z2 * sigmoid(z2)"),
                "dL/dz2 = dL/da2 * (sigmoid(a2) + z2 * sigmoid(z2) * (1 - sigmoid(z2)))"),
        symbols.a_for_z,
    ),
    _mistake(
        "forgotten bias", "漏掉偏置",
        ("z is computed without its bias.", "计算 z 时漏了偏置。"),
        "sigmoid'(W1 @ x)", "sigmoid'(W1 @ x + b1)", "f'(z - b)/f'(z)",
        ("Derivatives are taken at the z of the forward pass, b included.", "导数取在前向传播的 z 处，包括 b。"),
        example(ONE_SAMPLE, "dL/dz1 = (W2.T @ dL/dz2) * sigmoid'(W1 @ x)"), symbols.forgotten_bias,
    ),
    _mistake(
        "weights after the update", "用了更新后的权重",
        ("The weights are those after the update, W - lr dL/dW.", "用的是更新后的权重 W - lr dL/dW。"),
        "(W2 - 0.1 * dL/dW2).T @ dL/dz2", "W2.T @ dL/dz2", ("close to 1, and closer for a smaller step",
         "接近 1，步长越小越接近"),
        ("All derivatives belong to the weights of the forward pass: update afterwards.",
         "所有导数都属于前向传播时的权重：最后再更新。"),
        example(ONE_SAMPLE, "dL/da1 = (W2 - 0.1 * dL/dW2).T @ dL/dz2"), symbols.weights_after_the_update,
    ),
    # ---- signs, factors, numbers ------------------------------------------------------------------------------------
    _mistake(
        "derivative of the wrong quantity", "用了别的量的导数",
        ("The upstream derivative is that of another quantity, or of another layer.",
         "上游导数是另一个量或另一层的导数。"),
        "dL/dz3 @ x.T", "dL/dz1 @ x.T", "dL/dz3 / dL/dz1",
        ("The chain starts at what reads the quantity: dL/dW1 at dL/dz1.",
         "链从读取该量的量开始：dL/dW1 从 dL/dz1 开始。"),
        example(SQUARE, "dL/dW1 = dL/dz3 @ x.T"), symbols.derivative_of_the_wrong_quantity,
    ),
    _mistake(
        "wrong sign", "符号错误",
        ("Minus for plus, or plus for minus.", "正负号写反。"),
        "t - a2", "a2 - t", "-1",
        ("d(a - t)^2/da = 2 (a - t): prediction minus target.", "d(a - t)^2/da = 2 (a - t)：预测值减目标值。"),
        example(ONE_SAMPLE, "dL/da2 = t - a2"), factors.wrong_sign, common=True, is_number=True,
    ),
    _mistake(
        "dropped factor", "漏掉一个因子",
        ("One factor of the chain is missing.", "链式法则中漏掉了一个因子。"),
        "a2 - t", "(a2 - t) * sigmoid'(z2)", ("1 / the missing factor", "1 / 漏掉的因子"),
        ("Write the chain with every link: loss, activation, layer.", "写全链上的每一环：损失、激活、层。"),
        example(ONE_SAMPLE, "dL/dz2 = a2 - t"), factors.dropped_factor, common=True,
    ),
    _mistake(
        "derivative of the wrong activation", "用了别的激活函数的导数",
        ("The derivative is that of another activation function.", "用的是另一个激活函数的导数。"),
        "(W2.T @ dL/dz2) * a1 * (1 - a1)", "(W2.T @ dL/dz2) * tanh'(z1)", "a(1 - a)/(1 - a^2) = a/(1 + a)",
        ("sigmoid: a * (1 - a). tanh: 1 - a**2. relu: 1 where z > 0.",
         "sigmoid：a * (1 - a)。tanh：1 - a**2。relu：z > 0 处为 1。"),
        example(SQUARE, "dL/dz1 = (W2.T @ dL/dz2) * a1 * (1 - a1)"), slopes.of_another_activation, common=True,
    ),
    _mistake(
        "factor 2", "多了因子 2",
        ("Twice the right value.", "是正确值的两倍。"),
        "2 * (a2 - t)", "a2 - t", "2",
        ("The factor 1/2 of the loss takes away the 2 of the square.", "损失中的 1/2 与平方求导的 2 抵消。"),
        example(ONE_SAMPLE, "dL/da2 = 2 * (a2 - t)"), factors.factor_2, is_number=True,
    ),
    _mistake(
        "factor 1/2", "多了因子 1/2",
        ("Half the right value.", "是正确值的一半。"),
        "1/2 * (a2 - t)", "a2 - t", "1/2",
        ("A square has the derivative 2 (a - t).", "平方的导数是 2 (a - t)。"),
        example(ONE_SAMPLE, "dL/da2 = 1/2 * (a2 - t)"), factors.factor_half, is_number=True,
    ),
    _mistake(
        "sum for mean", "用和代替平均",
        ("The loss is a mean, and the gradient that of a sum: 1/n is missing.",
         "损失是平均值，梯度却是和的梯度：缺少 1/n。"),
        "2 * (Z2 - T)", "2/15 * (Z2 - T)", "n",
        ("A mean over n has the derivative 1/n.", "对 n 个取平均，导数带 1/n。"),
        example(BATCH, "dL/dZ2 = 2 * (Z2 - T)"), factors.sum_for_mean, is_number=True,
    ),
    _mistake(
        "mean for sum", "用平均代替和",
        ("The mean over the samples stands where their sum belongs.", "应当求和的地方取了平均。"),
        "mean(dL/dZ2, axis=1)", "sum(dL/dZ2, axis=1)", "1/n",
        ("The 1/n of the loss is in dL/dz already: sum over the samples.", "损失的 1/n 已在 dL/dz 中：对样本求和。"),
        example(BATCH, "dL/db2 = mean(dL/dZ2, axis=1)"), sums.mean_for_sum,
    ),
    _mistake(
        "factor n", "多了因子 n",
        ("n times the right value, n the size of an axis.", "是正确值的 n 倍，n 是某一轴的大小。"),
        "5 * dL/dZ2 @ A1.T", "dL/dZ2 @ A1.T", "n",
        ("Count a mean's 1/n once, at the loss.", "平均的 1/n 只在损失处计一次。"),
        example(BATCH, "dL/dW2 = 5 * dL/dZ2 @ A1.T"), factors.factor_n, is_number=True,
    ),
    _mistake(
        "factor 1/n", "多了因子 1/n",
        ("The right value divided by n, the size of an axis.", "正确值除以了某一轴的大小 n。"),
        "dL/dZ2 @ A1.T / 5", "dL/dZ2 @ A1.T", "1/n",
        ("Count a mean's 1/n once, at the loss.", "平均的 1/n 只在损失处计一次。"),
        example(BATCH, "dL/dZ1 = (W2.T @ dL/dZ2) * (Z1 > 0) / 5"), factors.factor_over_n, is_number=True,
    ),
    _mistake(
        "mean over the wrong axis", "对错误的轴取平均",
        ("Divided by the size of another axis than the loss's mean is over.",
         "除以了另一轴的大小，而不是损失取平均的个数。"),
        "2/5 * (Z2 - T)", "2/15 * (Z2 - T)", "n/m",
        ("Divide by the number of elements that the mean is over.", "除以取平均的元素个数。"),
        example(BATCH, "dL/dZ2 = 2/5 * (Z2 - T)"), factors.mean_over_wrong_axis, is_number=True,
    ),
    _mistake(
        "pre-activation for the derivative", "用 z 代替激活函数的导数",
        ("z stands where the derivative f'(z) belongs.", "在应当写导数 f'(z) 的地方写了 z。"),
        "(W2.T @ dL/dz2) * z1", "(W2.T @ dL/dz2) * sigmoid'(z1)", "z/f'(z)",
        ("Differentiate the activation at z.", "在 z 处对激活函数求导。"),
        example(ONE_SAMPLE, "dL/dz1 = (W2.T @ dL/dz2) * z1"), slopes.pre_activation_for_the_derivative,
    ),
    _mistake(
        "sum instead of each element", "用总和代替逐元素的导数",
        ("One sum stands where each element has a derivative of its own.", "每个元素各有导数，却写成了一个总和。"),
        "sum(a2 - t)", "a2 - t", ("one number for all elements", "所有元素得到同一个数"),
        ("A sum forward passes the derivative on to each term: nothing is summed.",
         "前向求和时，导数传给每一项，不再求和。"),
        example(ONE_SAMPLE, "dL/da2 = sum(a2 - t)"), sums.summed_elements,
    ),
    _mistake(
        "sum over the wrong axis", "对错误的轴求和",
        ("The sum is over another axis than the batch.", "求和没有沿着样本轴。"),
        "sum(dL/dZ2, axis=0)", "sum(dL/dZ2, axis=1)", ("an error of shape unless square", "非方阵时形状不符"),
        ("Sum over the samples; the features stay.", "对样本求和，特征保留。"),
        example(BATCH, "dL/db2 = sum(dL/dZ2, axis=0)"), sums.sum_over_the_wrong_axis,
    ),
    # ---- the loss ---------------------------------------------------------------------------------------------------
    _mistake(
        "loss derivative forgotten", "漏掉损失的导数",
        ("The backward pass starts with 1 at the output instead of the derivative of the loss.",
         "反向传播在输出处从 1 开始，漏了损失的导数。"),
        "sigmoid'(z2)", "(a2 - t) * sigmoid'(z2)", "1/(a - t)",
        ("Start at the loss: dL/da is the first factor.", "从损失开始：第一个因子是 dL/da。"),
        example(ONE_SAMPLE, "dL/dz2 = sigmoid'(z2)"), factors.loss_derivative_forgotten,
    ),
    _mistake(
        "loss for its derivative", "用损失代替损失的导数",
        ("The square is not differentiated.", "平方没有求导。"),
        "(a2 - t)**2", "a2 - t", "a - t",
        ("Differentiate the square: d(1/2 (a - t)^2)/da = a - t.", "对平方求导：d(1/2 (a - t)^2)/da = a - t。"),
        example(ONE_SAMPLE, "dL/da2 = (a2 - t)**2"), factors.loss_for_its_derivative,
    ),
    _mistake(
        "dropped term", "漏掉一项",
        ("One term of a sum or difference is missing.", "和或差中漏掉了一项。"),
        "a2", "a2 - t", "a/(a - t)",
        ("The derivative of a product has two terms; that of a difference keeps both.",
         "乘积的导数有两项；差的两项都保留。"),
        example(ONE_SAMPLE, "dL/da2 = a2"), factors.dropped_term,
    ),
    _mistake(
        "factor counted twice", "因子重复",
        ("A factor of the chain stands there twice.", "链上的一个因子出现了两次。"),
        "dL/da2 * sigmoid'(z2)**2", "dL/da2 * sigmoid'(z2)", ("the factor", "该因子"),
        ("Each link of the chain contributes one factor; dL/dz2 has sigmoid'(z2) in it already.",
         "链上每一环只贡献一个因子；dL/dz2 已含 sigmoid'(z2)。"),
        example(ONE_SAMPLE, "dL/dz2 = dL/da2 * sigmoid'(z2)**2"), factors.factor_twice,
    ),
    # ---- indices ----------------------------------------------------------------------------------------------------
    _mistake(
        "index off by one", "下标差一",
        ("An index is off by one: the neighbour of an element, or of a layer.", "下标差一：取了相邻的元素或相邻的层。"),
        "[a1[1], a1[2], a1[0]]", "a1", ("the values of a neighbour", "相邻元素的值"),
        ("Write down one element of the sum with its indices.", "写出求和中带下标的一项。"),
        example(SQUARE, "dL/dW2 = dL/dz2 @ [a1[1], a1[2], a1[0]].T"), symbols.index_off_by_one,
    ),
    _mistake(
        "wrong quantity", "用了别的量",
        ("Another quantity of the same shape stands there.", "写成了另一个同形的量。"),
        "dL/dy * t", "sum(dL/dy * x)", ("the quotient of the two", "两者之商"),
        ("Differentiate by the quantity in question: what multiplies it remains.",
         "对该量求导：留下的是与它相乘的量。"),
        example(SCALE, "dL/dg = sum(dL/dy * t)"), symbols.wrong_quantity,
    ),
)  # fmt: skip
"""Every mistake, the likeliest first among those that give the same formula."""
