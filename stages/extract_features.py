"""Inception-v3 features of every image, as Parquet shards."""

from __future__ import annotations

from _common import stage

import time
from dataclasses import asdict
from pathlib import Path

from ganscribe import config, records
from ganscribe.core.devices import choose_device, resolve_precision
from ganscribe.core.seeds import seed_everything
from ganscribe.datasets.captions import image_folder
from ganscribe.datasets.image_files import ImageFile, read_image_files
from ganscribe.execution.checkpoint import open_checkpoint
from ganscribe.execution.engines.extraction import extract
from ganscribe.features.extraction import extract_features, plan_extraction
from ganscribe.features.inception import Inception, load_inception, prepare
from ganscribe.features.loading import calibration_images
from ganscribe.records.lineage.run_key import run_key
from ganscribe.sources.acquire import open_raw


def open_network(files: list[ImageFile], folder: Path, *, crop: str, seed: int) -> Inception:
    """The network with the weights of data/raw/inception, or a random one calibrated on the images."""
    source = config.load("place", "inception")
    raw = open_raw("inception", "data/raw/inception", folder=source.folder)
    if raw.files:
        return load_inception(raw.path(next(iter(raw.files))))
    images = calibration_images(files, folder, crop=crop)
    return load_inception(None, calibration_images=images, seed=seed)


@stage
def main() -> None:
    """Extract the features of every image that fetch_images lists."""
    features, source = config.load("features"), config.load("place", "coco")
    device = choose_device()
    if features.decoder == "gpu" and device.type != "cuda":
        raise ValueError(
            f"features.decoder: gpu needs a CUDA device, and the device is {device}: set it to cpu"
        )
    precision = resolve_precision(features.precision, device)
    params = asdict(features) | {"precision": precision, "device": device.type}
    inputs = ["data/raw/inception/manifest.json", "data/coco/images.parquet"]
    key = run_key(Path(__file__), params, [Path(path) for path in inputs])
    seed_everything(features.seed)
    files = read_image_files("data/coco/images.parquet")
    folder = image_folder(source.source, source.folder, archive=source.archive)
    with (
        open_checkpoint(key) as checkpoint,
        records.stage_run(
            "extract_features", params=params, inputs=["data/raw/inception", "data/coco"], run_key=key
        ) as tracked,
    ):
        start = time.monotonic()
        inception = open_network(files, folder, crop=features.crop, seed=features.seed)
        inception = prepare(inception, precision=precision, device=device)
        extraction = plan_extraction(
            files,
            folder=folder,
            inception=inception,
            precision=precision,
            crop=features.crop,
            decoder=features.decoder,
            batch_size=features.batch_size,
            images_per_shard=features.images_per_shard,
            working=checkpoint.directory,
        )
        rejected = extract(
            extract_features,
            extraction,
            inception=inception,
            device=device,
            max_bad_images=features.max_bad_images,
            out=Path("data/features"),
            is_stopping=lambda: checkpoint.stop_signal is not None,
        )
        tracked.score(
            {
                "images": len(files) - len(rejected),
                "rejected_images": len(rejected),
                "seconds": time.monotonic() - start,
                "weights": inception.label,
                "weights_sha256": inception.sha256,
            }
        )
        tracked.log_files("data/features/rejected.parquet")


if __name__ == "__main__":
    main()
