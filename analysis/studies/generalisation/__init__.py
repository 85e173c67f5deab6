"""Studies of when and how well runs generalise, from the curves of their accuracies: grokking and double descent."""
