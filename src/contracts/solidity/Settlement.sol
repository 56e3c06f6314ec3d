// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title How the deposits of a channel are divided.
/// @dev Nobody can tell from one proof whether it is the latest, or whether its signer had the money. The formula is such
/// that an older proof never pays the one who presents it more than the latest would, and that everything adds up
/// whatever was signed.
library Settlement {
    /// @dev One side: paid in, taken out, and the latest proof of what it transferred that the other side presented.
    struct Side {
        uint256 deposit;
        uint256 withdrawn;
        uint256 transferred;
        uint256 locked;
    }

    /// @notice What each side gets now, and what of each side's locks stays behind.
    /// @return pays1 To side 1.
    /// @return pays2 To side 2.
    /// @return locked1 Left of the locks of side 1, which side 2 may earn.
    /// @return locked2 Left of the locks of side 2, which side 1 may earn.
    function divide(Side memory side1, Side memory side2)
        internal
        pure
        returns (uint256 pays1, uint256 pays2, uint256 locked1, uint256 locked2)
    {
        uint256 out1 = _add(side1.transferred, side1.locked);
        uint256 out2 = _add(side2.transferred, side2.locked);
        if (out2 < out1) {
            (pays2, pays1, locked2, locked1) = _divide(side2, side1, out1 - out2);
        } else {
            (pays1, pays2, locked1, locked2) = _divide(side1, side2, out2 - out1);
        }
    }

    /// @dev The same, of sides of which the first comes out `net` ahead.
    function _divide(Side memory side1, Side memory side2, uint256 net)
        private
        pure
        returns (uint256 pays1, uint256 pays2, uint256 locked1, uint256 locked2)
    {
        unchecked {
            uint256 total = _sub(_sub(_add(side1.deposit, side2.deposit), side1.withdrawn), side2.withdrawn);
            // Locks of side 2 included.
            uint256 most1 = _least(total, _sub(_add(net, side1.deposit), side1.withdrawn));
            uint256 most2 = total - most1;
            locked2 = _least(most1, side2.locked);
            pays1 = most1 - locked2;
            locked1 = _least(most2, side1.locked);
            pays2 = most2 - locked1;
        }
    }

    function _add(uint256 a, uint256 b) private pure returns (uint256 sum) {
        unchecked {
            sum = a + b;
            if (sum < a) sum = type(uint256).max;
        }
    }

    function _sub(uint256 a, uint256 b) private pure returns (uint256) {
        unchecked {
            return a > b ? a - b : 0;
        }
    }

    function _least(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
