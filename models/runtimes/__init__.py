"""Model runtimes: what turns a shipped model file into numbers.

A runtime is one `predict`: a batch in, a batch out (`base.Runtime`). The same wrappers serve the
box, the updater's self-test and the trainer's parity gate, so a model is never judged by other
code than the code that will run it.

- `base`: the protocol and the errors
- `trees`: gradient-boosted trees compiled to a shared library (ctypes)
- `tflite`: int8 LSTM (tflite-runtime, or its successor ai-edge-litert)
- `seal`: damage to a model file is found before native code sees it
- `elf`: which CPU a shared library was built for, read without loading it

This package knows nothing of features, units or bundles: it gets plain arrays.
"""
