"""Who is in the data: schema, records, audit, splits, resampling and plans. Pure."""
