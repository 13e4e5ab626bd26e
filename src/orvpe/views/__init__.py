"""From clips to encoder input: batches, occlusion, sampling, cameras, normalisation, augmentation."""
