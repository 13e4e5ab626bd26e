"""A clip as an encoder sees it: batches, occlusion, sampling, cameras, normalisation, augmentation."""
