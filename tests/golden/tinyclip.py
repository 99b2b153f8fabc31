"""Deterministic tiny CLIP weights, images and parameter fills.

THE RULE.  For a name `key` and a shape:
    seed  = zlib.crc32((salt + "/" + key).encode("utf-8"))            # unsigned 32 bit
    z     = numpy.random.RandomState(seed).standard_normal(shape)     # float64; legacy generator, stream frozen by numpy
    value = (mean + std * z).astype(float32)
CLIP weights are, in addition, rounded through float16 (value.astype(float16).astype(float32)) because the official
build_model() runs convert_weights() (fp16) before the weights are loaded; the rounding makes that step exact.
(mean, std) of a CLIP weight follow from its name: see `clip_rule`.
"""
import math
import zlib

import numpy as np
import torch

from promptbench.support.compat import import_open_clip

ARCHS = {
    # name: vision_width, text_width, embed_dim  (heads = width // 64)
    'tiny64': dict(vision_width=64, text_width=64, embed_dim=32, layers=12, patch=16, image=32, context=77, vocab=49408),
    'tiny128': dict(vision_width=128, text_width=64, embed_dim=48, layers=12, patch=16, image=32, context=77, vocab=49408),
    # real ViT-B/16 sizes; only for timing
    'vitb16': dict(vision_width=768, text_width=512, embed_dim=512, layers=12, patch=16, image=224, context=77, vocab=49408),
}


def fill(salt, key, shape, mean=0.0, std=1.0, fp16_round=False):
    seed = zlib.crc32((salt + '/' + key).encode('utf-8')) & 0xFFFFFFFF
    z = np.random.RandomState(seed).standard_normal(tuple(shape))
    v = np.asarray(mean + std * z, dtype=np.float64).astype(np.float32)
    if fp16_round:
        v = v.astype(np.float16).astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(v))


def clip_shapes(arch):
    a = ARCHS[arch]
    vw, tw, e, n = a['vision_width'], a['text_width'], a['embed_dim'], a['layers']
    s = {}

    def blocks(prefix, w):
        for i in range(n):
            p = f'{prefix}.resblocks.{i}.'
            s[p + 'attn.in_proj_weight'] = (3 * w, w)
            s[p + 'attn.in_proj_bias'] = (3 * w,)
            s[p + 'attn.out_proj.weight'] = (w, w)
            s[p + 'attn.out_proj.bias'] = (w,)
            s[p + 'ln_1.weight'] = (w,)
            s[p + 'ln_1.bias'] = (w,)
            s[p + 'mlp.c_fc.weight'] = (4 * w, w)
            s[p + 'mlp.c_fc.bias'] = (4 * w,)
            s[p + 'mlp.c_proj.weight'] = (w, 4 * w)
            s[p + 'mlp.c_proj.bias'] = (w,)
            s[p + 'ln_2.weight'] = (w,)
            s[p + 'ln_2.bias'] = (w,)

    s['positional_embedding'] = (a['context'], tw)
    s['text_projection'] = (tw, e)
    s['logit_scale'] = ()
    s['visual.class_embedding'] = (vw,)
    s['visual.positional_embedding'] = ((a['image'] // a['patch']) ** 2 + 1, vw)
    s['visual.proj'] = (vw, e)
    s['visual.conv1.weight'] = (vw, 3, a['patch'], a['patch'])
    for k in ('visual.ln_pre', 'visual.ln_post'):
        s[k + '.weight'] = (vw,)
        s[k + '.bias'] = (vw,)
    blocks('visual.transformer', vw)
    blocks('transformer', tw)
    s['token_embedding.weight'] = (a['vocab'], tw)
    s['ln_final.weight'] = (tw,)
    s['ln_final.bias'] = (tw,)
    return s


def clip_rule(key, shape):
    """(mean, std) of a CLIP weight."""
    if key == 'logit_scale':
        return math.log(100.0), 0.0
    last = key.rsplit('.', 1)[-1]
    if key.split('.')[-2:-1] and key.split('.')[-2].startswith('ln_'):
        return (1.0, 0.1) if last == 'weight' else (0.0, 0.1)
    if last in ('bias', 'in_proj_bias'):
        return 0.0, 0.05
    if key == 'token_embedding.weight':
        return 0.0, 0.5
    if key in ('positional_embedding', 'visual.positional_embedding'):
        return 0.0, 0.25
    if key == 'visual.class_embedding':
        return 0.0, 0.5
    if key in ('visual.proj', 'text_projection'):
        return 0.0, shape[0] ** -0.5
    if key == 'visual.conv1.weight':
        return 0.0, (shape[1] * shape[2] * shape[3]) ** -0.5
    if last == 'in_proj_weight':
        return 0.0, 1.5 * shape[1] ** -0.5
    # attn.out_proj.weight, mlp.c_fc.weight, mlp.c_proj.weight
    return 0.0, shape[1] ** -0.5


def clip_state_dict(arch, salt):
    """OpenAI-format state dict, float32, every value exactly representable in float16 (logit_scale too)."""
    sd = {}
    for key, shape in sorted(clip_shapes(arch).items()):
        mean, std = clip_rule(key, shape)
        if key == 'logit_scale':  # not rounded: float32(log(100)), as in OpenAI's ViT-B/16
            sd[key] = torch.tensor(mean, dtype=torch.float32)
        else:
            sd[key] = fill(salt + '/clip/' + arch, key, shape, mean, std, fp16_round=True)
    return sd


def images(salt, batch, size=32):
    return fill(salt, f'images/{batch}', (batch, 3, size, size))


def checksums(sd):
    return {k: [float(v.double().sum()), float(v.double().abs().sum())] for k, v in sd.items()}


def open_clip_model(arch, salt):
    """open_clip.CLIP holding exactly clip_state_dict(arch, salt)."""
    import_open_clip()
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
    a = ARCHS[arch]
    m = CLIP(
        embed_dim=a['embed_dim'],
        vision_cfg=CLIPVisionCfg(layers=a['layers'], width=a['vision_width'], head_width=64,
                                 patch_size=a['patch'], image_size=a['image']),
        text_cfg=CLIPTextCfg(context_length=a['context'], vocab_size=a['vocab'], width=a['text_width'],
                             heads=a['text_width'] // 64, layers=a['layers']),
        quick_gelu=True,
    )
    m.load_state_dict(clip_state_dict(arch, salt), strict=True)
    return m.eval()
