"""Sources, images, scenes, COCO, feature shards and tokens: everything before a network."""
