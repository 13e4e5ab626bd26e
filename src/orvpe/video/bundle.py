"""Pack MediaPipe's two pose networks into the `.task` file that its PoseLandmarker reads.

A `.task` file is a zip, nothing compressed, of a detector and a landmark network in TFLite's format.  Each must say
in its metadata how pixels become its input, (value - mean) / std; networks that were made for the older interface
do not, so it is added here.
"""

from __future__ import annotations

import io
import zipfile

DETECTOR, LANDMARKS = "pose_detector.tflite", "pose_landmarks_detector.tflite"
_METADATA = "TFLITE_METADATA"  # the name under which TFLite looks for it
# pixels are 0 to 255: the detector takes -1 to 1, the landmark network 0 to 1
_DETECTOR_INPUT, _LANDMARK_INPUT = (127.5, 127.5), (0.0, 255.0)
_UNCHANGING = (1980, 1, 1, 0, 0, 0)  # the same bytes whenever it is made


def task_bundle(detector: bytes, landmarks: bytes) -> bytes:
    """Build a `.task` file from a detector and a landmark network without metadata.

    Args:
        detector: bytes of ``pose_detection.tflite``.
        landmarks: bytes of ``pose_landmark_full.tflite`` (or lite, or heavy).
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as file:
        for name, network, scaling in (
            (DETECTOR, detector, _DETECTOR_INPUT),
            (LANDMARKS, landmarks, _LANDMARK_INPUT),
        ):
            file.writestr(zipfile.ZipInfo(name, _UNCHANGING), with_scaling(network, *scaling))
    return out.getvalue()


def with_scaling(network: bytes, mean: float, std: float) -> bytes:
    """Add metadata to a TFLite network: its image input is (pixel - mean) / std."""
    import flatbuffers
    from mediapipe.tasks.metadata import schema_py_generated as tflite

    model = tflite.ModelT.InitFromObj(tflite.Model.GetRootAsModel(network, 0))
    buffer = tflite.BufferT()
    buffer.data = _scaling_metadata(mean, std)
    entry = tflite.MetadataT()
    entry.name, entry.buffer = _METADATA, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    builder = flatbuffers.Builder(len(network) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _scaling_metadata(mean: float, std: float) -> bytes:
    import flatbuffers
    from mediapipe.tasks.metadata import metadata_schema_py_generated as schema

    scaling = schema.NormalizationOptionsT()
    scaling.mean, scaling.std = [mean], [std]
    unit = schema.ProcessUnitT()
    unit.optionsType, unit.options = schema.ProcessUnitOptions.NormalizationOptions, scaling
    image = schema.ImagePropertiesT()
    image.colorSpace = schema.ColorSpaceType.RGB
    content = schema.ContentT()
    content.contentPropertiesType, content.contentProperties = schema.ContentProperties.ImageProperties, image
    tensor = schema.TensorMetadataT()
    tensor.name, tensor.content, tensor.processUnits = "image", content, [unit]
    graph = schema.SubGraphMetadataT()
    graph.inputTensorMetadata = [tensor]
    model = schema.ModelMetadataT()
    model.subgraphMetadata = [graph]
    builder = flatbuffers.Builder(512)
    builder.Finish(model.Pack(builder), b"M001")
    return bytes(builder.Output())
