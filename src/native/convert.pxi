# Python values to C++ ones and back.

cdef str _text(const string & value):
    return value.decode("utf-8", "replace")


cdef list _texts(vector[string] values):
    return [value.decode("utf-8", "replace") for value in values]


cdef list _ids(vector[int32_t] values):
    return [value for value in values]


# Lone surrogates, which JSON can bring in, become U+FFFD as everywhere else.
cdef bytes _utf8(text):
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str):
        raise TypeError(f"expected str or bytes, got {type(text).__name__}")
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


cdef vector[string] _utf8s(texts) except *:
    cdef vector[string] out
    for text in texts:
        out.push_back(_utf8(text))
    return out


cdef bytes _path(path):
    cdef bytes encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise errors.InvalidRequest("a path must not contain a NUL character", field="path")
    return encoded


cdef string_view _view(bytes data) noexcept:
    return string_view(PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data))


cdef int32_t _int(str name, value) except? -1:
    try:
        return value
    except OverflowError:
        raise errors.InvalidRequest(f"{name} is out of range: {value}", field=name) from None


cdef uint32_t _count(str name, value) except? 0xffffffff:
    cdef int32_t number = _int(name, value)
    if number < 0:
        raise errors.InvalidRequest(f"{name} must not be negative", field=name)
    return <uint32_t>number


# A one-dimensional, contiguous int32 array with the same numbers; the array itself if it is one.
cdef object _int32s(str name, values):
    array = np.asarray(values)
    if array.dtype == np.int32 and array.ndim == 1 and array.flags.c_contiguous:
        return array
    if array.ndim != 1:
        raise errors.InvalidRequest(
            f"{name} must have one dimension, not {array.ndim}", field=name)
    if array.size == 0:
        return np.empty(0, np.int32)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, not {array.dtype}")
    limits = np.iinfo(np.int32)
    if array.min() < limits.min or array.max() > limits.max:
        raise errors.InvalidRequest(f"{name} has a number outside of 32 bits", field=name)
    return np.ascontiguousarray(array, np.int32)


cdef object _flags(str name, values):
    array = np.asarray(values)
    if array.ndim != 1:
        raise errors.InvalidRequest(
            f"{name} must have one dimension, not {array.ndim}", field=name)
    if array.dtype == np.bool_ or array.dtype == np.int8:
        return np.ascontiguousarray(array).view(np.int8)
    if array.size > 0 and array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be booleans or integers, not {array.dtype}")
    return (array != 0).view(np.int8)


cdef object _int32_array(const vector[int32_t] & values):
    cdef size_t size = values.size()
    array = np.empty(size, np.int32)
    cdef int32_t[::1] view = array
    if size > 0:
        memcpy(&view[0], values.data(), size * sizeof(int32_t))
    return array


cdef object _float_array(const vector[float] & values):
    cdef size_t size = values.size()
    array = np.empty(size, np.float32)
    cdef float[::1] view = array
    if size > 0:
        memcpy(&view[0], values.data(), size * sizeof(float))
    return array


cdef const int32_t * _data(const int32_t[::1] view) noexcept nogil:
    return &view[0] if view.shape[0] > 0 else NULL


# One row of bits for each of `count` rows of logits; None where there are none.
cdef object _masks(masks, Py_ssize_t count, size_t words):
    if masks is None:
        return None
    array = np.asarray(masks)
    if array.dtype != np.uint32 and array.dtype != np.int32:
        raise TypeError(f"masks must be 32-bit integers, not {array.dtype}")
    if array.shape != (count, words):
        raise errors.InvalidRequest(
            f"masks for {count} rows must have the shape {(count, words)}, not {array.shape}",
            field="masks")
    return np.ascontiguousarray(array).view(np.uint32)


cdef const uint32_t * _words(const uint32_t[:, ::1] masks) noexcept:
    return &masks[0, 0] if masks is not None and masks.shape[0] > 0 else NULL


cdef dict _metadata(cmap[string, string] values):
    return {_text(item.first): _text(item.second) for item in values}
