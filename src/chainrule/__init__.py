"""chainrule: neural networks whose every gradient can be read, checked and explained, fast on CPUs.

    import chainrule as cr
    from chainrule import nn, optim
    import chainrule.nn.functional as F

The names are PyTorch's. This file lists them; what they do stands in `tensor/functions/`.
"""

from typing import Any

from chainrule.dtypes import bfloat16, bool_, float16, float32, float64, int8, int16, int32, int64, uint8
from chainrule.dtypes import DType as dtype
from chainrule.tensor import methods as _methods  # gives Tensor its methods
from chainrule.tensor.device import Device as device
from chainrule.tensor.functions import creation as _creation
from chainrule.tensor.functions import elementwise as _elementwise
from chainrule.tensor.functions.contraction import (
    addmm, addmv, bmm, dot, einsum, inner, matmul, mm, mv, outer,
)
from chainrule.tensor.functions.creation import (
    arange, as_tensor, asarray, empty, empty_like, eye, from_dlpack, from_numpy, full, full_like,
    is_floating_point, is_tensor, linspace, logspace, numel, ones, ones_like, scalar_tensor, tensor,
    tril_indices, triu_indices, zeros, zeros_like,
)
from chainrule.tensor.functions.elementwise import (
    add, addcdiv, addcmul, clamp, clip, div, divide, frac, logaddexp, nan_to_num, round, rsub, sub,
    subtract, true_divide, where,
)
from chainrule.tensor.functions.movement import (
    atleast_1d, broadcast_tensors, broadcast_to, cat, chunk, clone, concat, concatenate, diag, diagonal,
    flatten, flip, fliplr, flipud, hstack, meshgrid, moveaxis, movedim, narrow, permute, ravel,
    repeat_interleave, reshape, roll, select, split, squeeze, stack, swapaxes, swapdims, t,
    tensor_split, tile, trace, transpose, tril, triu, unbind, unflatten, unsqueeze, vstack,
)
from chainrule.tensor.functions.random import (
    Generator, bernoulli, default_generator, dropout, get_rng_state, initial_seed, manual_seed,
    multinomial, normal, rand, rand_like, randint, randint_like, randn, randn_like, randperm, seed,
    set_rng_state,
)
from chainrule.tensor.functions.reduction import (
    all, allclose, amax, amin, aminmax, any, argmax, argmin, count_nonzero, cumprod, cumsum, dist,
    equal, isclose, kthvalue, log_softmax, logsumexp, max, mean, median, min, norm, prod, softmax, std,
    std_mean, sum, var, var_mean,
)
from chainrule.tensor.functions.selection import (
    argsort, bincount, gather, histc, index_add, index_copy, index_fill, index_put, index_select,
    masked_fill, masked_scatter, masked_select, nonzero, scatter, scatter_add, searchsorted, sort, take,
    take_along_dim, topk, unique,
)
from chainrule.tensor.printing import set_printoptions
from chainrule.tensor.switches import (
    enable_grad, inference_mode, is_grad_enabled, is_inference_mode_enabled, no_grad, set_grad_enabled,
)
from chainrule.tensor.tensor import Size, Tensor, get_default_dtype, set_default_dtype
