"""In flight: shard -> decoded example -> masked batch. Views, transforms, masking, order and the stream."""
