"""The functions behind the modules: `import chainrule.nn.functional as F`. This file lists the names."""

from chainrule.nn.functional.activations import (
    elu,
    elu_,
    gelu,
    hardsigmoid,
    hardswish,
    hardtanh,
    hardtanh_,
    leaky_relu,
    leaky_relu_,
    log_softmax,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    relu_,
    selu,
    selu_,
    sigmoid,
    silu,
    softmax,
    softmin,
    softplus,
    softsign,
    tanh,
)
from chainrule.nn.functional.affine import linear
from chainrule.nn.functional.attentions import scaled_dot_product_attention
from chainrule.nn.functional.convolutions import conv1d, conv2d, conv_transpose2d
from chainrule.nn.functional.dropouts import dropout, dropout1d, dropout2d, dropout3d
from chainrule.nn.functional.embeddings import embedding
from chainrule.nn.functional.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)
from chainrule.nn.functional.normalisations import batch_norm, group_norm, layer_norm, rms_norm
from chainrule.nn.functional.padding import pad
from chainrule.nn.functional.poolings import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from chainrule.nn.functional.vectors import cosine_similarity, normalize, one_hot

__all__ = [
    "adaptive_avg_pool2d", "avg_pool2d", "batch_norm", "binary_cross_entropy", "binary_cross_entropy_with_logits",
    "conv1d", "conv2d", "conv_transpose2d", "cosine_similarity", "cross_entropy", "dropout", "dropout1d", "dropout2d",
    "dropout3d", "elu", "elu_", "embedding", "gelu", "group_norm", "hardsigmoid", "hardswish", "hardtanh", "hardtanh_",
    "huber_loss", "kl_div", "l1_loss", "layer_norm", "leaky_relu", "leaky_relu_", "linear", "log_softmax", "logsigmoid",
    "max_pool2d", "mish", "mse_loss", "nll_loss", "normalize", "one_hot", "pad", "prelu", "relu", "relu6", "relu_",
    "rms_norm", "scaled_dot_product_attention", "selu", "selu_", "sigmoid", "silu", "smooth_l1_loss", "softmax",
    "softmin", "softplus", "softsign", "tanh",
]  # fmt: skip
