"""Networks that teachers share: reading weights without executing anything, fitting pictures to them, taking what they say."""
