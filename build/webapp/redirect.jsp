<%-- Redirects to another page of this application: ?to=echo.jsp. The Location
     is relative; with absolute=1 it names the host that the request's Host
     header has, which is what ProxyPassReverse is for. --%>
<%@ page session="false" trimDirectiveWhitespaces="true" %>
<%
    String to = request.getParameter("to");
    if (to == null || !to.matches("[a-z]+\\.jsp")) {
        to = "index.jsp";
    }
    if (request.getParameter("absolute") == null) {
        response.sendRedirect(to);
    } else {
        response.sendRedirect(request.getScheme() + "://" + request.getHeader("Host")
            + request.getContextPath() + "/" + to);
    }
%>
